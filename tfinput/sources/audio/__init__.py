"""Sources of sound: WAV files."""
