/** Details of a file beside its path, as OTLP attributes; the same as in format `extended`. */
import type { FileArgument } from '../../contract/event.ts'
import type { FileDetails, FileHash } from '../../contract/file-details.ts'
import { isoTime } from '../../runtime/iso-time.ts'
import { base64, deviceText, layerOf, partialOf, resultOf } from '../extended.ts'
import { KEYS } from '../otlp/attributes.ts'
import type { AttributeSink } from '../otlp/attributes.ts'

export function detailAttributes(file: FileArgument, out: AttributeSink): void {
  out.text(KEYS.fileInode, String(file.inode))
  out.text(KEYS.fileDevice, deviceText(file.device))
  if (file.deleted) out.flag(KEYS.fileDeleted, true)
  const partial = partialOf(file)
  if (partial.length > 0) out.list(KEYS.filePartial, partial)
  if (file.raw !== undefined) out.text(KEYS.filePathBytes, base64(file.raw))
  if (file.details !== undefined) kernelAttributes(file.details, out)
}

function kernelAttributes({ named, content, mountId, detached, overlay, hash }: FileDetails, out: AttributeSink): void {
  if (named !== undefined) out.text(KEYS.fileNamed, named)
  if (content !== undefined) {
    out.integer(KEYS.fileLinks, content.links)
    out.integer(KEYS.fileGeneration, content.generation)
    // No file has a size that an attribute cannot hold.
    if (typeof content.sizeBytes === 'number') out.integer(KEYS.fileSize, content.sizeBytes)
    if (content.changed !== undefined) out.text(KEYS.fileChanged, isoTime(content.changed))
  }
  if (mountId !== 0) out.integer(KEYS.fileMount, mountId)
  if (detached) out.flag(KEYS.fileDetached, true)
  if (hash !== undefined) hashAttributes(resultOf(hash), out)
  if (overlay === undefined) return
  out.text(KEYS.fileLayer, layerOf(overlay))
  out.text(KEYS.fileLayerInode, String(overlay.inode))
  out.text(KEYS.fileLayerDevice, deviceText(overlay.device))
}

function hashAttributes(hash: FileHash, out: AttributeSink): void {
  if ('missing' in hash) {
    out.text(KEYS.fileHashMissing, hash.missing)
    return
  }
  out.text(KEYS.fileHash, hash.sha256)
  out.integer(KEYS.fileHashSize, hash.sizeBytes)
  out.text(KEYS.fileHashChanged, isoTime(hash.changed))
}
