(() => {
  const canvas = new OffscreenCanvas(400, 40);
  const context = canvas.getContext("2d");
  context.drawImage(document.getElementById("video"), 170, 645, 400, 40, 0, 0, 400, 40);
  const { data } = context.getImageData(0, 0, 400, 40);
  let white = 0;
  for (let i = 0; i < data.length; i += 4) white += Math.min(data[i], data[i + 1], data[i + 2]) > 215;
  return white;
})()
