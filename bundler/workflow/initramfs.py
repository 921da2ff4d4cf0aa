"""x."""

from bundler.workflow.mounted_image import MountedImage


def check_initramfs(image: MountedImage, *, updates: bool) -> tuple[str, ...]:
    """X."""
    return ()
