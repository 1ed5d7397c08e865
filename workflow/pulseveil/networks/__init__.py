"""Networks: layers as pure functions on lists of tensors, and the compiled programs that train them."""
