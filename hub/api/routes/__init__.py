"""One module per resource. Handlers ask the view and shape the answer; they decide nothing."""
