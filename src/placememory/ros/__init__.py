"""A ROS 2 node around the :class:`placememory.localization.Localizer`; needs ``rclpy`` to run.

Only :mod:`placememory.ros.node` imports ROS. What a robot needs besides is plain Python, tested
without it: the newest frame of each camera, odometry as it comes, answers of several cameras as one
(:mod:`placememory.ros.live`), and the arithmetic of transforms (:mod:`placememory.ros.transforms`).
"""
