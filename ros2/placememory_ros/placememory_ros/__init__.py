"""The node of placememory as a ROS 2 package."""
