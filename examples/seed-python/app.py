import os
print(os.environ["MY_APP_SECRET"])
