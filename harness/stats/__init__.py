"""Statistics: numpy and scipy only. Values become intervals, paired tests and margins; the unit is the cluster."""
