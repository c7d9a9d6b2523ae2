"""One rank of a job that goes through the cases. See rank.py.

    ranks_job.py FOLDER GROUP...
"""

import collective_cases
import training_cases
from rank import main, names

GROUPS = {"collectives": names(collective_cases),
          "training": names(training_cases)}

if __name__ == "__main__":
    main(GROUPS)
