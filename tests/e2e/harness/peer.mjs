// The peer in the latency bench: Debian's nginx with its RTMP module, HLS as its users set it up for low delay (1 s fragments).
// In → Out: nothing → a running nginx with an RTMP address and a playlist address.
// Spec: nginx-rtmp-module, directives "hls", "hls_fragment", "hls_playlist_length".

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './nearcast.mjs';
import { Child, until } from './processes.mjs';

export class NginxRtmp {
  static async start({ fragment = '1s' } = {}) {
    const data = await mkdtemp(join(tmpdir(), 'nginx-rtmp-'));
    await mkdir(join(data, 'hls'));
    const [http, rtmp] = [await freePort(), await freePort()];
    await writeFile(join(data, 'nginx.conf'), `
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off; master_process off; worker_processes 1; pid ${data}/pid; error_log stderr warn;
events { worker_connections 256; }
rtmp { server { listen 127.0.0.1:${rtmp}; chunk_size 4096;
  application live { live on; hls on; hls_path ${data}/hls; hls_fragment ${fragment}; hls_playlist_length 6s; hls_fragment_naming sequential; }
} }
http {
  access_log off; tcp_nodelay on; client_body_temp_path ${data}/body; proxy_temp_path ${data}/proxy; fastcgi_temp_path ${data}/fcgi;
  uwsgi_temp_path ${data}/uwsgi; scgi_temp_path ${data}/scgi;
  types { application/vnd.apple.mpegurl m3u8; video/mp2t ts; }
  server { listen 127.0.0.1:${http}; root ${data}/hls; add_header Access-Control-Allow-Origin *; add_header Cache-Control no-cache; }
}
`);
    const child = new Child('nginx', ['-c', join(data, 'nginx.conf'), '-p', data], { env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } });
    const peer = Object.assign(new NginxRtmp(), { child, data, http, rtmpPort: rtmp });
    await until('nginx answers', () => fetch(`http://127.0.0.1:${http}/`), 5000);
    return peer;
  }

  rtmp(name) {
    return `rtmp://127.0.0.1:${this.rtmpPort}/live/${name}`;
  }

  playlist(name) {
    return `http://127.0.0.1:${this.http}/${name}.m3u8`;
  }

  live(name) {
    return until('nginx-rtmp lists segments', async () => {
      const answer = await fetch(this.playlist(name));
      return answer.ok && (await answer.text()).split('#EXTINF').length > 3;
    }, 20_000);
  }

  async stop() {
    await this.child.stop();
    await rm(this.data, { recursive: true, force: true });
  }
}
