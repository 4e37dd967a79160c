import type { Encoded } from '../../../../exporters/contract/exporter.ts'
import { slice } from '../../../../exporters/contract/encoded.ts'

/** Each line with its end, as text. */
export function linesOf(whole: Encoded): string[] {
  return Array.from({ length: whole.count }, (_, i) => Buffer.from(slice(whole, i, i + 1).bytes).toString())
}
