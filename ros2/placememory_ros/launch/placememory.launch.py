"""Start the node: ros2 launch placememory_ros placememory.launch.py memory:=office.memory."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

ARGUMENTS = {
    "memory": ("", "The memory: a file, milvus-lite:PATH or http://host:port/collection."),
    "image": ("image_raw", "Topic of the camera."),
    "odometry": ("odom", "Topic of the odometry; empty for none."),
    "publish_tf": ("false", "Publish map -> odom."),
    "publish_initialpose": ("false", "Publish /initialpose once it is sure."),
}


def generate_launch_description() -> LaunchDescription:
    """The node with its parameters; those not named here are in docs/ros.md."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    given = {name: LaunchConfiguration(name) for name in ARGUMENTS if name != "image"}
    node = Node(
        package="placememory_ros",
        executable="placememory_node",
        name="placememory",
        output="screen",
        parameters=[{**given, "camera.topic": LaunchConfiguration("image")}],
    )
    return LaunchDescription([*declared, node])
