/**
 * Signs a release: no network and no program but Node is needed, and none but OpenSSL to verify (VERIFY.md).
 *
 *   node deploy/release/sign.ts FOLDER NAME KEY     KEY: a file with an Ed25519 private key in PEM
 *
 * `provenance.json` in FOLDER becomes NAME.intoto.jsonl, a signed DSSE envelope. SHA256SUMS gets all files below it, SHA256SUMS.sig its signature, and
 * ktrail-release.pub the public key. Prints the fingerprint of the key. The same files and key give the same bytes.
 */
import { createPrivateKey, createPublicKey, hash, sign } from 'node:crypto'
import { readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'

const [folder = '', name = '', keyFile = ''] = process.argv.slice(2)
const at = (file: string): string => path.join(folder, file)

const key = createPrivateKey(readFileSync(keyFile))
if (key.asymmetricKeyType !== 'ed25519')
  throw new Error(
    `${keyFile}: expected an Ed25519 key, got ${key.asymmetricKeyType}: make one as CONTRIBUTING.md shows`,
  )
const publicKey = createPublicKey(key)
const fingerprint = hash('sha256', publicKey.export({ type: 'spki', format: 'der' }))

const TYPE = 'application/vnd.in-toto+json'
const statement = readFileSync(at('provenance.json'))
// The bytes that DSSE signs: type and payload, each after its length.
const signed = Buffer.concat([Buffer.from(`DSSEv1 ${TYPE.length} ${TYPE} ${statement.length} `), statement])
const envelope = {
  payload: statement.toString('base64'),
  payloadType: TYPE,
  signatures: [{ keyid: fingerprint, sig: sign(null, signed, key).toString('base64') }],
}
writeFileSync(at(`${name}.intoto.jsonl`), `${JSON.stringify(envelope)}\n`)
rmSync(at('provenance.json'))

// Not the list itself and what verifies it.
const outside = new Set(['SHA256SUMS', 'SHA256SUMS.sig', 'ktrail-release.pub', 'VERIFY.md'])
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
  (file) => !outside.has(file) && statSync(at(file)).isFile(),
)
const sums = files.toSorted().map((file) => `${hash('sha256', readFileSync(at(file)))}  ${file}\n`)
writeFileSync(at('SHA256SUMS'), sums.join(''))
writeFileSync(at('SHA256SUMS.sig'), sign(null, readFileSync(at('SHA256SUMS')), key))
writeFileSync(at('ktrail-release.pub'), publicKey.export({ type: 'spki', format: 'pem' }))
console.log(fingerprint)
