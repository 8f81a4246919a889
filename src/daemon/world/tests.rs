//! Does the world draw the right conclusions?
