from placememory._build import *
