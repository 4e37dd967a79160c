/** The `containers` section: data that the agent requests from container runtimes. */
import * as z from 'zod'
import { pathSchema } from '../../base/paths.ts'

/** Where Docker, podman, containerd (its own, then that of k3s and RKE2) and CRI-O listen. */
export const RUNTIME_SOCKETS = [
  '/run/docker.sock',
  '/run/podman/podman.sock',
  '/run/containerd/containerd.sock',
  '/run/k3s/containerd/containerd.sock',
  '/run/crio/crio.sock',
] as const
const MOST_SOCKETS = 8
const MOST_LABELS = 16

export const containers = z
  .strictObject({
    sockets: z
      .array(pathSchema('Unix socket of a container runtime.'))
      .min(1)
      .max(MOST_SOCKETS)
      .optional()
      .describe(
        `Sockets of container runtimes, in the order of requests: Docker or podman (HTTP API), containerd or CRI-O (CRI API). The agent detects the API. The owner of a socket can give any container a name. Default: the existing ones of ${RUNTIME_SOCKETS.join(', ')}.`,
      ),
    labels: z
      .array(z.string().min(1).max(256))
      .max(MOST_LABELS)
      .default([])
      .describe('Names of container labels to add to events, such as com.docker.compose.service.'),
  })
  .optional()
  .describe(
    'Container data without Kubernetes: events have the name, the image and the selected labels of their container, from the runtime’s socket. ' +
      'Write containers: {} for the usual sockets. Without this key, the agent connects to no runtime.',
  )
