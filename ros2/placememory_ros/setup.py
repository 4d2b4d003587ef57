"""The colcon package of the node; its code is in the Python package placememory (pip)."""

from setuptools import setup

NAME = "placememory_ros"

setup(
    name=NAME,
    version="0.1.0",
    packages=[NAME],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", ["launch/placememory.launch.py"]),
    ],
    install_requires=["setuptools", "placememory"],
    zip_safe=True,
    description="Localises a robot's cameras in a place memory.",
    license="Apache-2.0",
    entry_points={"console_scripts": ["placememory_node = placememory_ros.node:main"]},
)
