"""The built-in training methods, one file each, registered by entry points as a third party's would be."""
