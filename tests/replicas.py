"""Replicas of the known datasets as delivered: true folder names, file names and CSV forms, with tiny pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from PIL import Image

from gi_edge.data.spec import read_spec

VIDEOS = ("04a78ef00c5245e0", "131368cc17e44240", "fe5d372e43f94f68")
"""Video ids in the form of Kvasir-Capsule."""

CLASSES = {
    name: tuple(read_spec(name).classes)
    for name in ("gastrovision", "kvasir-capsule", "kvasir-v2", "hyperkvasir", "capsule-vision-2024")
}

CAPSULE_OFFICIAL = {
    "Angiectasia": "Angiectasia",
    "Blood - fresh": "Blood",
    "Erosion": "Erosion",
    "Erythema": "Erythematous",
    "Foreign body": "Foreign Bodies",
    "Ileocecal valve": "Ileo-cecal valve",
    "Lymphangiectasia": "Lymphangiectasia",
    "Normal clean mucosa": "Normal",
    "Pylorus": "Pylorus",
    "Reduced mucosal view": "Reduced Mucosal View",
    "Ulcer": "Ulcer",
}
"""Folder of Kvasir-Capsule to the label of its official folds."""

HYPERKVASIR_OFFICIAL = {
    "barretts-short-segment": "short-segment-barretts",
    "cecum": "normal-cecum",
    "esophagitis-a": "oesophagitis-a",
    "esophagitis-b-d": "oesophagitis-b-d",
    "hemorrhoids": "hemorroids",
    "polyps": "polyp",
    "pylorus": "normal-pylorus",
    "z-line": "normal-z-line",
}
"""Folder of HyperKvasir to the label of its official folds, where they differ."""

HYPERKVASIR_FOLDERS = {
    "lower-gi-tract/anatomical-landmarks": ("cecum", "ileum", "retroflex-rectum"),
    "lower-gi-tract/pathological-findings": (
        "hemorrhoids",
        "polyps",
        *(f"ulcerative-colitis-grade-{grade}" for grade in ("0-1", "1", "1-2", "2", "2-3", "3")),
    ),
    "lower-gi-tract/quality-of-mucosal-views": ("bbps-0-1", "bbps-2-3", "impacted-stool"),
    "lower-gi-tract/therapeutic-interventions": ("dyed-lifted-polyps", "dyed-resection-margins"),
    "upper-gi-tract/anatomical-landmarks": ("pylorus", "retroflex-stomach", "z-line"),
    "upper-gi-tract/pathological-findings": ("barretts", "barretts-short-segment", "esophagitis-a", "esophagitis-b-d"),
}


def write_replica(spec_name: str, root: Path) -> Path:
    """Write the replica of a spec below root, which need not exist, and return root. Raises: KeyError without one."""
    _WRITERS[spec_name](root)
    return root


def write_images(root: Path, paths: Iterable[str], size: tuple[int, int] = (16, 12)) -> None:
    """Write one small picture per path, each of another colour."""
    for number, path in enumerate(paths):
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (90 + number % 150, 40 + 7 * number % 90, 30 + 3 * number % 60)).save(target)


def write_csv(path: Path, lines: Iterable[str], *, end: str = "\n") -> None:
    """Write lines as they are; end "\\r\\n" for the files that come from Windows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())


def stem(number: int) -> str:
    """Return a file stem in the form of an UUID, as GastroVision and the Kvasir sets name stills."""
    return f"{number:08x}-8576-4208-a850-98aefb69{number:04x}"


def _gastrovision(root: Path) -> None:
    """27 classes of two images; 100H0003.jpg in two classes; the official files, the first without carriage returns."""
    labels = CLASSES["gastrovision"]
    names = {label: [f"{stem(2 * number)}.jpg", f"{stem(2 * number + 1)}.jpg"] for number, label in enumerate(labels)}
    names["Colon polyps"][1] = names["Normal stomach"][1] = "100H0003.jpg"
    write_images(root, (f"{label}/{name}" for label in labels for name in names[label]))
    small = {"Resection margins", "Angiectasia", "Erythema", "Esophageal varices", "Ulcer"}
    rows = [(name, label) for label in labels if label not in small for name in names[label]]
    for position, part in enumerate(("train", "validate", "test")):
        lines = ["Filename,Class", *(f"{name},{label}" for name, label in rows[position::3])]
        write_csv(root / "Split" / f"{part}.csv", lines, end="\n" if part == "train" else "\r\n")


def _kvasir_capsule(root: Path) -> None:
    """14 classes of three frames each, one per video, unpacked; metadata and official folds beside them."""
    labels = CLASSES["kvasir-capsule"]
    names = {label: [f"{video}_{40 * n + v}.jpg" for v, video in enumerate(VIDEOS)] for n, label in enumerate(labels)}
    write_images(root / "labelled_images", (f"{label}/{name}" for label in labels for name in names[label]))
    header = "filename;video_id;frame_number;finding_category;finding_class;x1;y1;x2;y2;x3;y3;x4;y4"
    rows = [f"{name};{name[:16]};{name[17:-4]};Luminal;{label};;;;;;;;" for label in labels for name in names[label]]
    write_csv(root / "metadata.csv", [header, *rows])
    for fold in (0, 1):
        official = [f"{names[label][fold]},{spelled}" for label, spelled in CAPSULE_OFFICIAL.items()]
        write_csv(root / "official_splits" / f"split_{fold}.csv", ["filename,label", *official])


def _kvasir_v2(root: Path) -> None:
    """8 classes of two images."""
    labels = CLASSES["kvasir-v2"]
    write_images(root, (f"{label}/{stem(2 * n + k)}.jpg" for n, label in enumerate(labels) for k in (0, 1)))


def _hyperkvasir(root: Path) -> None:
    """23 classes of two images under labeled-images, copies under segmented-images, and the official two folds."""
    folders = [f"labeled-images/{top}/{label}" for top, labels in HYPERKVASIR_FOLDERS.items() for label in labels]
    write_images(root, (f"{folder}/{stem(2 * n + k)}.jpg" for n, folder in enumerate(folders) for k in (0, 1)))
    write_images(root, [f"segmented-images/{kind}/{stem(8)}.jpg" for kind in ("images", "masks")])
    labels = [folder.rpartition("/")[2] for folder in folders]
    rows = [
        f"{stem(2 * n + k)}.jpg;{HYPERKVASIR_OFFICIAL.get(label, label)};{k}"
        for n, label in enumerate(labels)
        for k in (0, 1)
    ]
    write_csv(root / "official_splits" / "2_fold_split.csv", ["file-name;class-name;split-index", *rows])


def _capsule_vision(root: Path) -> None:
    """10 classes in two parts; Kvasir-Capsule's names in KVASIR, a name of its own per other collection."""
    for part, number in (("training", 0), ("validation", 1)):
        for label in CLASSES["capsule-vision-2024"]:
            if label == "Worms":
                write_images(root, [f"{part}/Worms/AIIMS/worm_{number}.jpg"])
            else:
                kvasir, other = f"KVASIR/{VIDEOS[0]}_{number}.jpg", f"SEE-AI/image{number:05d}.jpg"
                write_images(root / part / label, [kvasir, other])


def _gastrohun(root: Path) -> None:
    """Four patients as folders, labels in a CSV with an index column; one image on which the experts disagree."""
    lines = [",num patient,filename,FG1,Complete agreement,set_type"]
    parts = {1: "Train", 2: "Train", 3: "Validation", 4: "Testing"}
    labels = ("A1", "L2", "OTHERCLASS", "")
    for patient, part in parts.items():
        names = [f"{patient:03d}_{n}.jpg" for n in range(len(labels))]
        write_images(root, (f"Labeled Images/{patient}/{name}" for name in names))
        for name, label in zip(names, labels, strict=True):
            lines.append(f"{len(lines) - 1},{patient},{name},{label or 'A2'},{label},{part}")
    write_csv(root / "official_splits" / "image_classification.csv", lines)


def _limuc(root: Path) -> None:
    """Four scores in two delivered parts of two patients each, and the same images once more by patient."""
    for folder, patients in (("train_and_validation_sets", (467, 515)), ("test_set", (11, 43))):
        for score in range(4):
            names = [f"UC_patient_{patient}_{10 * score + 1}.bmp" for patient in patients]
            write_images(root, (f"{folder}/Mayo {score}/{name}" for name in names))
            again = (f"{name.split('_')[2]}/Mayo {score}/{name}" for name in names)
            write_images(root / "patient_based_classified_images", again)


def _csv(root: Path) -> None:
    """Six images in one folder, listed by bare name with a byte order mark, ";" and group and part."""
    write_images(root, (f"images/frame {n}.png" for n in range(6)))
    rows = [
        f"frame {n}.png;{'polyp' if n % 2 else 'Barrett’s'};P{n // 2};{'test' if n > 3 else 'train'}" for n in range(6)
    ]
    write_csv(root / "labels.csv", ["\ufeffFile-Name;Class-Name;Patient;Split", *rows], end="\r\n")


def _folders(root: Path) -> None:
    """Two classes of two images with the same names."""
    write_images(root, (f"{label}/{n}.jpg" for label in ("bleeding", "non-bleeding") for n in (1, 2)))


_WRITERS: dict[str, Callable[[Path], None]] = {
    "capsule-vision-2024": _capsule_vision,
    "csv": _csv,
    "folders": _folders,
    "gastrohun": _gastrohun,
    "gastrovision": _gastrovision,
    "hyperkvasir": _hyperkvasir,
    "kvasir-capsule": _kvasir_capsule,
    "kvasir-v2": _kvasir_v2,
    "limuc": _limuc,
}
REPLICAS = tuple(_WRITERS)
"""Specs that have a replica."""
