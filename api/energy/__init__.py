"""Energy: what meters counted, by hour, day or month of the site's legal time."""
