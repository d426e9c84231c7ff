"""Builders: one public function a file, named like it. Arguments in, a `Feed` out; modules that begin with an underscore serve them."""
