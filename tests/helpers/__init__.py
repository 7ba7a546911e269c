"""What tests share.

running: a bundle's configs, run within this process; trainable: a bundle to train, here or in processes to be killed;
runnable: a bundle whose network's answers are known; killing: a run that ends at its n-th file;
exports: bundles in other engines' files.
randomised, random_networks, noisy: networks as a training leaves them, small random ones, one that answers otherwise
each time. recipe: weights and images by formula; published_networks, record_published, trained_weights: what stands in
tests/data, and how it is written.
"""
