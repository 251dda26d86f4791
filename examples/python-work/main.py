"""The Work, in Python: mean, median and standard deviation of a list of numbers, as JSON."""

import json
import statistics

from componentize_py_types import Err
from wit_world import exports


class Work(exports.Work):
    def run(self, input: bytes) -> bytes:
        numbers = json.loads(input)
        try:
            summary = {
                "mean": statistics.mean(numbers),
                "median": statistics.median(numbers),
                "stdev": statistics.pstdev(numbers),
            }
        except statistics.StatisticsError as error:
            raise Err(str(error))
        return json.dumps(summary).encode()
