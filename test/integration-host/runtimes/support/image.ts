/** An image of the Open Container Initiative that holds only busybox, as an archive that containerd imports. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const TYPE = 'application/vnd.oci.image'

/** Writes FOLDER/image.tar; in `folder` nothing else is needed afterwards. */
export function writeImage(folder: string, name: string): void {
  const [root, layout] = [join(folder, 'layer'), join(folder, 'layout')]
  mkdirSync(join(root, 'bin'), { recursive: true })
  copyFileSync('/bin/busybox', join(root, 'bin/busybox'))
  mkdirSync(join(layout, 'blobs/sha256'), { recursive: true })
  const blob = (bytes: Buffer, kind: string): object => {
    const digest = createHash('sha256').update(bytes).digest('hex')
    writeFileSync(join(layout, 'blobs/sha256', digest), bytes)
    return { mediaType: `${TYPE}.${kind}`, digest: `sha256:${digest}`, size: bytes.length }
  }
  const json = (value: object): Buffer => Buffer.from(JSON.stringify(value))
  const tar = execFileSync('tar', ['--create', '--file=-', '--directory', root, 'bin'], { maxBuffer: 1 << 26 })
  const layer = blob(tar, 'layer.v1.tar')
  const diff_ids = [`sha256:${createHash('sha256').update(tar).digest('hex')}`]
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch
  const image = { architecture, os: 'linux', config: { Cmd: ['/bin/busybox', 'sleep', '1000'] } }
  const config = blob(json({ ...image, rootfs: { type: 'layers', diff_ids } }), 'config.v1+json')
  const manifest = blob(json({ schemaVersion: 2, config, layers: [layer] }), 'manifest.v1+json')
  const annotations = { 'io.containerd.image.name': name }
  writeFileSync(join(layout, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }))
  writeFileSync(join(layout, 'index.json'), json({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }))
  execFileSync('tar', ['--create', '--file', join(folder, 'image.tar'), '--directory', layout, '.'])
}
