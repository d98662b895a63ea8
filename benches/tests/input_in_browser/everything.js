((code) => {
  const { input, motion } = moonlightMux;
  let sequence = 1_000_000;
  const send = (channel, ...body) => {
    const message = new Uint8Array(4 + body.length);
    new DataView(message.buffer).setUint32(0, sequence++);
    message.set(body, 4);
    channel.send(message);
  };
  const fill = (length) => new Array(length).fill(0x11);
  send(motion, 0x05, 1, 0x12, 0x34, 0x56, 0x78);
  send(motion, 0x05, 2, 0, 0, 0, 5, 0, 0, 0, 6);
  send(input, 0x01, 1, code, 0, 0);
  send(input, 0x02, code);
  send(input, 0x03, 1, 1, 1, 0x12, 0x34, 0x56, 0x78);
  send(input, 0x04, 0, 120, 0, 120, 0);
  send(input, 0x06, 1, 0, 0, 0, 1, ...fill(6), 0, 0, ...fill(4));
  send(input, 0x07, 1, 1, 0, ...fill(6), 0, 0, 45);
  send(input, 0x08, 0, 1, 0, 1, 0, 0, 0xf7, 0xff);
  send(input, 0x0a, 0, 0, 0, 0x10, 0, ...fill(10));
  for (let i = 0; i < 20; i++) send(input, 0xff);
})
