// An OpenID provider on loopback for tests, with a key of its own each time it starts:
//
//   node scripts/oidc-provider.mjs FOLDER PORT     FOLDER has oidc-provider in its node_modules
//
// Prints its address when it listens. Whoever shows a client id with the secret `for tests` gets, for the resource that is asked
// for, a token whose `person` is that id and whose `workspace` is `observatory`; it lasts for as many seconds as TTL says, 60.
import { pathToFileURL } from 'node:url';
import path from 'node:path';

const [folder, port] = process.argv.slice(2);
const from = (file) => import(pathToFileURL(path.resolve(folder, 'node_modules', file)).href);
const { Provider } = await from('oidc-provider/lib/index.js');
const { exportJWK, generateKeyPair } = await from('jose/dist/webapi/index.js');

const { privateKey } = await generateKeyPair('RS256', { extractable: true });
const key = { ...(await exportJWK(privateKey)), use: 'sig', alg: 'RS256', kid: `started-${Date.now()}` };
const client = (id) => ({
  client_id: id,
  client_secret: 'for tests',
  grant_types: ['client_credentials'],
  response_types: [],
  redirect_uris: [],
  token_endpoint_auth_method: 'client_secret_post',
});
const issuer = `http://127.0.0.1:${port}`;
const provider = new Provider(issuer, {
  clients: ['oskar', 'petra', 'rafael'].map(client),
  jwks: { keys: [key] },
  extraTokenClaims: (_, token) => ({ person: token.clientId, workspace: 'observatory' }),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource) => ({
        audience: resource,
        scope: 'search tessera:admin',
        accessTokenFormat: 'jwt',
        accessTokenTTL: Number(process.env.TTL ?? 60),
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
});
provider.on('server_error', (_, error) => console.error(error));
provider.listen(Number(port), '127.0.0.1', () => console.log(issuer));
