"""Whether a bundle works with monai.bundle, MONAI Label, the model zoo and federated clients."""
