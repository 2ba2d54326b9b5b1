"""Who this device is: its own key, the hub's certificate for it, and whom it believes."""
