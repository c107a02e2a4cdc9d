// Encoders as people use them: our own pattern publisher, ffmpeg, GStreamer.
// In → Out: an RTMP address and a shape of picture → a running encoder.
// All paint the clock strip; those that can, flash and beep once in each second of media time.
// Spec: docs/clock-strip.md; issue cases ING-16, ING-18.

import { join } from 'node:path';
import { binary, root } from './nearcast.mjs';
import { Child } from './processes.mjs';

const painter = join(root, 'tests/e2e/harness/painter.mjs');

/** `nearcast publish --pattern`. */
export function pattern(to, { size = '640x360', fps = 30, gop = 2, bframes = 0, seconds, args = [] } = {}) {
  return new Child(binary, [
    'publish', '--pattern', '--to', to, '--size', size, '--fps', String(fps), '--gop', String(gop), '--bframes', String(bframes),
    ...(seconds ? ['--seconds', String(seconds)] : []), ...args,
  ]);
}

const beep = 'aevalsrc=exprs=0.5*sin(2*PI*1000*t)*lt(mod(t\\,1)\\,0.1):s=48000';

/** Plain ffmpeg, fed with painted pictures; `video` and `audio` replace what it encodes with. */
export function ffmpeg(to, options) {
  const [command, ...rest] = ffmpegArguments(to, options);
  return new Child(command, rest);
}

/** The same as a command line, for those who run it somewhere else. */
export function ffmpegArguments(to, { size = '640x360', fps = 30, gop = 2, bframes = 0, seconds = 0, sound = true, video = [], audio = [], format = 'flv' } = {}) {
  const tune = bframes > 0 ? ['-preset', 'veryfast', '-bf', String(bframes)] : ['-preset', 'superfast', '-tune', 'zerolatency'];
  return [
    'node', painter, size, String(fps), String(seconds), 'ffmpeg',
    '-hide_banner', '-nostdin', '-loglevel', 'warning',
    '-f', 'rawvideo', '-pix_fmt', 'yuv420p', '-video_size', size, '-framerate', String(fps), '-i', '-',
    ...(sound ? ['-f', 'lavfi', '-i', beep, '-shortest'] : []),
    '-c:v', 'libx264', ...tune, '-b:v', '1500k', '-maxrate', '1500k', '-bufsize', '750k', '-g', String(Math.round(gop * fps)),
    '-keyint_min', String(Math.round(gop * fps)), '-sc_threshold', '0', ...video,
    ...(sound ? ['-c:a', 'aac', '-b:a', '96k', ...audio] : []),
    '-flush_packets', '1', '-f', format, to,
  ];
}

/** GStreamer's `rtmp2sink`. */
export function gstreamer(to, { size = '640x360', fps = 30, gop = 2, seconds = 0 } = {}) {
  const [width, height] = size.split('x');
  return new Child('node', [
    painter, size, String(fps), String(seconds), 'gst-launch-1.0', '-q', '-e',
    'flvmux', 'name=mux', 'streamable=true', '!', 'rtmp2sink', `location=${to}`,
    'fdsrc', 'fd=0', '!', 'rawvideoparse', `width=${width}`, `height=${height}`, 'format=i420', `framerate=${fps}/1`, '!',
    'queue', '!', 'x264enc', 'tune=zerolatency', 'speed-preset=superfast', 'bitrate=1500', `key-int-max=${gop * fps}`, '!',
    'video/x-h264,profile=main', '!', 'h264parse', '!', 'queue', '!', 'mux.',
    'audiotestsrc', 'is-live=true', 'wave=ticks', '!', 'audio/x-raw,rate=48000,channels=2', '!', 'audioconvert', '!',
    'voaacenc', 'bitrate=96000', '!', 'aacparse', '!', 'queue', '!', 'mux.',
  ]);
}
