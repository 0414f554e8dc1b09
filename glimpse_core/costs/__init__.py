"""What answering costs: shapes, FLOPs, bytes and schedules of pruning methods. Arithmetic only, no torch."""
