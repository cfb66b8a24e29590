// An HTTP endpoint that tells what it saw.
//
// usage: node recorder.mjs PORT
// Connects to 127.0.0.1:PORT and writes one JSON line per event: {"port":N} once it listens, then {"begin":ID,...} for
// each request head and {"end":ID,...} or {"cut":ID} for what became of it. Answers carry X-Saw: METHOD TARGET LENGTH.
import http from 'node:http';
import net from 'node:net';

const control = net.connect(Number(process.argv[2]), '127.0.0.1');
const tell = (event) => control.write(JSON.stringify(event) + '\n');
control.on('close', () => process.exit(0));

let requests = 0;

function begin(request) {
  const id = ++requests;
  tell({ begin: id, method: request.method, target: request.url, fields: pairs(request.rawHeaders) });
  return id;
}

function pairs(raw) {
  const fields = [];
  for (let at = 0; at < raw.length; at += 2) fields.push([raw[at].toLowerCase(), raw[at + 1]]);
  return fields;
}

const server = http.createServer({ keepAliveTimeout: 60_000, insecureHTTPParser: false }, (request, response) => {
  const id = begin(request);
  let bytes = 0;
  let complete = false;
  request.on('data', (chunk) => { bytes += chunk.length; });
  request.on('error', () => {});
  request.on('end', () => {
    complete = true;
    tell({ end: id, bytes, fields: pairs(request.rawTrailers) });
    const body = `saw ${request.method} ${request.url} ${bytes}\n`;
    response.writeHead(200, {
      'Content-Type': 'text/plain',
      'Content-Length': Buffer.byteLength(body),
      'X-Saw': `${request.method} ${request.url} ${bytes}`,
    });
    response.end(body);
  });
  request.on('close', () => { if (!complete) tell({ cut: id }); });
});

// After the 101 every byte is sent back. A path with /refuse and every protocol but WebSocket is refused.
server.on('upgrade', (request, socket, head) => {
  const id = begin(request);
  tell({ end: id, bytes: 0, fields: [] });
  const saw = `X-Saw: ${request.method} ${request.url} 0\r\n`;
  socket.on('error', () => {});
  const isWebSocket = (request.headers.upgrade ?? '').toLowerCase() === 'websocket';
  if (!isWebSocket || request.method !== 'GET' || request.url.startsWith('/refuse')) {
    socket.end(`HTTP/1.1 403 Forbidden\r\n${saw}Connection: close\r\nContent-Length: 0\r\n\r\n`);
    return;
  }
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${saw}Upgrade: websocket\r\nConnection: Upgrade\r\n`
    + 'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n');
  socket.write(head);
  socket.pipe(socket);
});

server.on('clientError', (error, socket) => {
  tell({ refused: error.code });
  socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
});

server.requestTimeout = 0;
server.maxRequestsPerSocket = 0;
server.listen(0, '127.0.0.1', () => tell({ port: server.address().port }));
