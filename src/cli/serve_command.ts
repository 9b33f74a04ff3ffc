/** `npm start`: the built page on localhost, until Ctrl-C. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { securityHeaders } from '../hub/hosts.ts';
import { LocalServer, PortInUseError } from './local_server.ts';

const USUAL_PORT = 4173;

export async function serveCommand(directory: string, port: number | undefined, open: boolean): Promise<number> {
  const server = await startServer(port);
  // The page's <meta> does not bind its worker, which makes all the requests: the headers do.
  const address = server.mountRoot(directory, securityHeaders());
  console.log(`Nibble Studio: ${address}`);
  console.log('Ctrl-C ends it.');
  if (open) openBrowser(address);
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  await server.close();
  return 0;
}

/** A port that was asked for is used or refused; without one, any free port will do. */
async function startServer(port: number | undefined): Promise<LocalServer> {
  if (port !== undefined) return LocalServer.start(port);
  try {
    return await LocalServer.start(USUAL_PORT);
  } catch (error) {
    if (error instanceof PortInUseError) return LocalServer.start();
    throw error;
  }
}

/** Whether or not it works, the address has been printed. */
function openBrowser(address: string): void {
  const command = browserCommand();
  if (!command) return;
  const [program, ...args] = command;
  const child = spawn(program, [...args, address], { stdio: 'ignore', detached: true });
  child.on('error', () => {});
  child.unref();
}

function browserCommand(): [string, ...string[]] | null {
  switch (process.platform) {
    case 'darwin':
      return ['open'];
    case 'win32':
      return ['cmd', '/c', 'start', ''];
    default:
      return process.env.DISPLAY || process.env.WAYLAND_DISPLAY ? ['xdg-open'] : null;
  }
}
