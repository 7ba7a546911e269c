"""Whether a bundle works for all who use bundles: monai.bundle, MONAI Label, the model zoo, federated clients."""
