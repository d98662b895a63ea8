(() => {
  const [video, holder] = ["video", "picture"].map((id) => document.getElementById(id));
  const [rect, seen] = [video.getBoundingClientRect(), holder.getBoundingClientRect()];
  const scale = Math.min(rect.width / video.videoWidth, rect.height / video.videoHeight);
  const box_left = rect.left + (rect.width - scale * video.videoWidth) / 2;
  const box_top = rect.top + (rect.height - scale * video.videoHeight) / 2;
  const left = Math.max(box_left, seen.left);
  const top = Math.max(box_top, seen.top);
  const width = Math.min(box_left + scale * video.videoWidth, seen.left + holder.clientWidth) - left;
  const height = Math.min(box_top + scale * video.videoHeight, seen.top + holder.clientHeight) - top;
  return { left, top, width, height, box_left, box_top, scale };
})()
