"""Files and options to Kubernetes objects, in killable workers."""
