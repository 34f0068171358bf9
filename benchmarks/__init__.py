"""Stand-alone programs. A package, because pyarrow 17 installs one of the same name, which tests would import instead."""
