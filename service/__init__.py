"""What every process shares: logging, HTTP bodies, signatures. Knows no rule of the business."""
