"""Sources of pictures: what files hold, how they are decoded, and what becomes of masks."""
