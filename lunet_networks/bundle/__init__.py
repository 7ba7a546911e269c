"""What configs name and only running a bundle needs: data, losses, metrics, handlers."""
