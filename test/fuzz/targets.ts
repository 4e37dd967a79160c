/** All entry points: a row each, with a corpus of the same name. */
import { kafka, otlp } from './targets/answers.ts'
import { deadLetters, spool } from './targets/disk.ts'
import { config, policy } from './targets/documents.ts'
import { records } from './targets/records.ts'
import { grpc, http } from './targets/requests.ts'
import type { Target } from './target.ts'

export const TARGETS: readonly Target[] = [policy, config, records, spool, deadLetters, otlp, kafka, grpc, http]
