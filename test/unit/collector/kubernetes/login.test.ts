import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { loginOf } from '../../../../collector/kubernetes/login.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'ktrail-login-'))
after(() => rmSync(folder, { recursive: true }))

const POD = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' }

test('login: a pod has its service account, and a new token counts at once', async () => {
  writeFileSync(path.join(folder, 'ca.crt'), 'CA')
  writeFileSync(path.join(folder, 'token'), 'first\n')
  const login = await loginOf({ kubeconfig: undefined, env: POD, folder })
  assert.equal(login.server, 'https://10.96.0.1:443')
  assert.deepEqual(await login.read(), { ca: 'CA', cert: undefined, key: undefined, token: 'first' })
  writeFileSync(path.join(folder, 'token'), 'second')
  assert.equal((await login.read()).token, 'second')
  const six = await loginOf({ kubeconfig: undefined, env: { KUBERNETES_SERVICE_HOST: 'fd00::1' }, folder })
  assert.equal(six.server, 'https://[fd00::1]:443')
})

test('login: names what a pod lacks', async () => {
  const empty = mkdtempSync(path.join(folder, 'empty-'))
  const rows = [
    { env: {}, want: /does not run in a pod .*: set kubernetes\.kubeconfig/ },
    {
      env: POD,
      want: /cannot read the CA of the cluster from .*ca\.crt: no such file; give the pod a serviceAccountName/,
    },
  ]
  for (const { env, want } of rows) {
    await assert.rejects(loginOf({ kubeconfig: undefined, env, folder: empty }), {
      code: 'KUBERNETES_LOGIN',
      message: want,
    })
  }
})

const base = (text: string): string => Buffer.from(text).toString('base64')

function kubeconfig(cluster: object, user: object | null, current = 'one'): string {
  const file = path.join(folder, 'kubeconfig')
  const document = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': current,
    contexts: [{ name: 'one', context: { cluster: 'c', user: 'u', namespace: 'x' } }],
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user }],
  }
  writeFileSync(file, JSON.stringify(document))
  return file
}

test('login: reads a kubeconfig, with data in it or in files beside it', async () => {
  writeFileSync(path.join(folder, 'my-token'), 'from-a-file\n')
  writeFileSync(path.join(folder, 'my-ca.pem'), 'CA2')
  const rows = [
    {
      cluster: { server: 'https://k.example:6443/', 'certificate-authority-data': base('CA'), 'tls-server-name': 'k' },
      user: { 'client-certificate-data': base('CERT'), 'client-key-data': base('KEY') },
      server: 'https://k.example:6443',
      want: { ca: 'CA', cert: 'CERT', key: 'KEY', token: undefined },
    },
    {
      cluster: { server: 'https://k.example/prefix', 'certificate-authority': 'my-ca.pem' },
      user: { tokenFile: 'my-token' },
      server: 'https://k.example/prefix',
      want: { ca: 'CA2', cert: undefined, key: undefined, token: 'from-a-file' },
    },
    {
      cluster: { server: 'https://k.example', 'insecure-skip-tls-verify': true },
      user: { token: 't' },
      server: 'https://k.example',
      want: { ca: undefined, cert: undefined, key: undefined, token: 't' },
    },
  ]
  for (const { cluster, user, server, want } of rows) {
    const login = await loginOf({ kubeconfig: kubeconfig(cluster, user), env: {} })
    assert.deepEqual([login.server, await login.read()], [server, want])
    assert.equal(login.verify, !('insecure-skip-tls-verify' in cluster))
    assert.equal(login.serverName, 'tls-server-name' in cluster ? 'k' : undefined)
  }
})

test('login: names the mistake in a kubeconfig', async () => {
  const server = 'https://k.example'
  const rows = [
    { make: () => path.join(folder, 'none'), want: /none: cannot read the file: no such file/ },
    {
      make: () => kubeconfig({ server: 'http://k' }, {}),
      want: /expected a server that begins with https:.*, got "http:/,
    },
    { make: () => kubeconfig({ server, 'proxy-url': 'http://p' }, {}), want: /proxy-url is not supported/ },
    { make: () => kubeconfig({ server }, { exec: {} }), want: /exec of the user is not supported: use a token/ },
    { make: () => kubeconfig({ server }, {}, 'two'), want: /current-context is "two", but no context has this name/ },
    { make: () => kubeconfig({ server: 7 }, {}), want: /expected a kubeconfig: clusters\.0\.cluster\.server/ },
    {
      make: () => kubeconfig({ server }, { tokenFile: 'gone' }),
      want: /cannot read the token from .*gone: no such file/,
    },
  ]
  for (const { make, want } of rows) {
    await assert.rejects(loginOf({ kubeconfig: make(), env: {} }), { code: 'KUBERNETES_LOGIN', message: want })
  }
})
