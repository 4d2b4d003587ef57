"""What requests hold and answers look like, for OpenAPI."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Finite = Annotated[float, Field(allow_inf_nan=False)]
Metres = Annotated[float, Field(allow_inf_nan=False, ge=-1e7, le=1e7)]
Radians = Annotated[float, Field(allow_inf_nan=False, ge=-100.0, le=100.0)]
Pixels = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Focal = Annotated[float, Field(allow_inf_nan=False, gt=0.0, le=1e6)]
Count = Annotated[int, Field(ge=1, le=100)]
Size = Annotated[int, Field(ge=1, le=100_000)]
Stamp = Annotated[int, Field(ge=-(1 << 63), le=(1 << 63) - 1)]
Verdict = Literal["located", "ambiguous", "unknown", "warming-up"]


class LocalizeQuery(BaseModel):
    """What is known of an image; in the address, or as fields of a form."""

    fx: Focal | None = Field(None, description="Focal length, pixels; with fy, cx and cy.")
    fy: Focal | None = None
    cx: Pixels | None = Field(None, description="Principal point, pixels.")
    cy: Pixels | None = None
    width: Size | None = Field(None, description="Of the images the camera was calibrated on.")
    height: Size | None = None
    x: Metres | None = Field(None, description="About where it was taken, map frame, metres.")
    y: Metres | None = None
    yaw: Radians | None = Field(None, description="Its heading, radians; unknown if left out.")
    spread: Annotated[float, Field(gt=0.0, le=1e6)] = Field(
        5.0, description="Standard deviation of x and y, metres."
    )
    k: Count = Field(10, description="Candidates.")


class SearchQuery(BaseModel):
    """Which places may answer; in the address, or as fields of a form."""

    k: Count = Field(10, description="Candidates.")
    session: list[str] = Field([], description="Places of this session; repeat.")
    exclude_session: list[str] = Field([], description="No places of this session; repeat.")
    near: str | None = Field(None, description="x,y or x,y,z in metres; needs within.")
    within: Annotated[float, Field(ge=0.0, le=1e7)] | None = Field(
        None, description="Metres around near."
    )
    floor: str | None = Field(None, description="Places of this floor.")


class FrameQuery(BaseModel):
    """When a frame was taken, and the motion since the one before, in the robot's frame there."""

    model_config = ConfigDict(extra="ignore")

    stamp: Stamp | None = Field(None, description="Nanoseconds.")
    dx: Metres | None = Field(None, description="Forward, metres.")
    dy: Metres | None = Field(None, description="To the left, metres.")
    dyaw: Radians | None = Field(None, description="To the left, radians.")


class SaveRequest(BaseModel):
    """Name of the session that a stream is added as."""

    session: str = Field(min_length=1, max_length=200)


class Fault(BaseModel):
    """What was wrong."""

    code: str = Field(description="For programs, such as image_unreadable.")
    message: str = Field(description="What was wrong, and what to do.")
    id: str = Field(description="Of the request; the log has it where the service failed.")


class Failure(BaseModel):
    """The body of every answer with a status of 400 or above."""

    error: Fault


class Health(BaseModel):
    """The service answers."""

    status: Literal["ok"]
    version: str
    memory: str
    places: int
    revision: str


class Session(BaseModel):
    """A traverse of the memory."""

    name: str
    count: int


class MapImage(BaseModel):
    """A grid of cells; row 0 of the image is the top, the origin its lower left corner."""

    url: str
    width: int
    height: int
    resolution: float = Field(description="Metres a pixel.")
    origin: list[float] = Field(description="x, y in metres and yaw in radians.")


class Map(BaseModel):
    """The memory, and the map under it."""

    memory: str
    frame_id: str
    revision: str
    encoder: str
    places: int
    sessions: list[Session]
    image: MapImage | None


class Places(BaseModel):
    """Places in columns, in the order of their ids."""

    total: int
    offset: int
    session: list[int] = Field(description="Which of the sessions of the map.")
    index: list[int]
    x: list[float | None]
    y: list[float | None]
    yaw: list[float | None]
    name: list[str]


class PoseModel(BaseModel):
    """Body in world."""

    model_config = ConfigDict(extra="allow")

    x: float
    y: float
    z: float
    quaternion: list[float] | None = Field(description="x, y, z, w; null where unknown.")
    frame_id: str
    covariance: list[float] | None


class PlaceModel(BaseModel):
    """A place."""

    session: str
    index: int
    name: str
    stamp: int | None
    vertex_id: int | None
    floor: str | None
    pose: PoseModel | None


class PlaceWithImage(PlaceModel):
    """A place with the address of its image."""

    image: str | None


class CandidateModel(PlaceModel):
    """A place with its similarity."""

    rank: int
    similarity: float


class Candidates(BaseModel):
    """The most similar places, best first."""

    candidates: list[CandidateModel]


class EstimateModel(BaseModel):
    """The answer for one frame; ``pose`` is there only where the verdict is ``located``."""

    model_config = ConfigDict(extra="allow")

    name: str
    stamp: int | None
    verdict: Verdict | None
    reason: str = Field(description="Why it is not located, in words.")
    frame_id: str
    pose: PoseModel | None
    hypothesis: PoseModel | None = Field(description="Where it is likeliest, trusted or not.")
    covariance: list[float] | None = Field(description="36 numbers, 6 x 6 in the order of ROS.")
    probability: float | None
    belief: dict[str, Any] | None
    match: dict[str, Any] | None
    age: float | None
    note: str
    revision: str
    in_memory: list[str | int] | None
    checked: int
    relative: dict[str, Any] | None
    camera_pose: dict[str, Any] | None
    milliseconds: dict[str, float]
    candidates: list[CandidateModel]


class LocalizedImage(EstimateModel):
    """An estimate with the size of the image, width and height."""

    image_size: list[int]


class StreamEstimate(EstimateModel):
    """An estimate with the likeliest places: rows in the order of ``/api/places``, probability."""

    heat: list[tuple[int, float]] = []


class NewStream(BaseModel):
    """A stream has begun."""

    id: str


class StreamModel(BaseModel):
    """A stream."""

    id: str
    frames: int
    verdict: Verdict | None


class DriftModel(BaseModel):
    """What odometry and located poses disagree about."""

    model_config = ConfigDict(extra="allow")


class Added(BaseModel):
    """What became of the frames of a stream that was added to the memory."""

    session: str
    located: int
    between: int
    nowhere: list[str]
    contradicted: list[str]
    still: int
    unused: int
    drift: DriftModel | None


class RunSummary(BaseModel):
    """A finished run."""

    name: str
    frames: int
    located: int


class RunColumns(BaseModel):
    """A run's frames, a value for each."""

    name: list[str]
    stamp: list[int | None]
    verdict: list[str]
    reason: list[str]
    x: list[float | None]
    y: list[float | None]
    yaw: list[float | None]
    hx: list[float | None]
    hy: list[float | None]
    probability: list[float | None]
    tx: list[float | None]
    ty: list[float | None]
    error: list[float | None]
    place: list[int | None]
    similarity: list[float | None]
    image: list[bool]


class Run(BaseModel):
    """A finished run in columns."""

    name: str
    frames: int
    verdicts: dict[str, int]
    columns: RunColumns
    radius: float


class Truth(BaseModel):
    """Where a frame was taken, metres."""

    x: float
    y: float


class RunFrame(EstimateModel):
    """An estimate of a run, with the truth where it is known."""

    truth: Truth | None
    error: float | None
