/** Node's HTTP. To import it would load all that its namespace names, also fetch and WebSocket: 14 MB and 70 ms of every start. */
export const http = process.getBuiltinModule('node:http')
