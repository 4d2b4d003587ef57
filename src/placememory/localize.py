from placememory._localize import *
