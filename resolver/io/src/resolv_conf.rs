//! Who wrote `/etc/resolv.conf`, and how do we take it and give it back?
