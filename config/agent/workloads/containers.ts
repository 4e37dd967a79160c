/** The `containers` section: data that the agent requests from container runtimes. */
import { z } from 'zod'
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
      .array(pathSchema('The Unix socket of a container runtime.'))
      .min(1)
      .max(MOST_SOCKETS)
      .optional()
      .describe(
        `Sockets of container runtimes, in the order in which they are asked: Docker or podman (their HTTP API), containerd or CRI-O (the CRI API); which it is shows itself. Default: those of ${RUNTIME_SOCKETS.join(', ')} that are there. Who owns a socket can give any container a name.`,
      ),
    labels: z
      .array(z.string().min(1).max(256))
      .max(MOST_LABELS)
      .default([])
      .describe('Labels of containers that events have, by name, such as com.docker.compose.service.'),
  })
  .optional()
  .describe(
    'Without Kubernetes: events have the name and image of the container in which they happened, and the labels that are asked for, from the runtime’s socket. ' +
      'Write containers: {} for the usual sockets. Without it, no runtime is asked.',
  )
