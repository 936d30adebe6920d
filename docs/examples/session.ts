type Tokens = { accessToken: string; refreshToken: string; expiresAt: string };

const REFRESH = `mutation Refresh($refreshToken: String!) {
  refreshSession(input: { refreshToken: $refreshToken }) { session { accessToken refreshToken expiresAt } }
}`;

/** A session that all tabs of a browser share: whichever needs a new token first fetches it, for all of them. */
export class Session {
  constructor(private readonly url: string) {}

  /** Keeps the `session` that `login` answered with; null signs out. */
  async keep(tokens: Tokens | null) {
    await navigator.locks.request("session", () => write(tokens));
  }

  /** Gives a token that is good for a minute at least; undefined when the person has to sign in. */
  async token() {
    const tokens = await read();
    return isOld(tokens) ? navigator.locks.request("session", () => this.renewed()) : tokens?.accessToken;
  }

  private async renewed() {
    const tokens = await read(); // once more: another tab may have had the lock before, and have renewed them
    if (!isOld(tokens)) return tokens?.accessToken;
    const session = await refresh(this.url, tokens!.refreshToken);
    await write(session);
    return session?.accessToken;
  }
}

/** Exchanges a refresh token for new tokens; null when the session has ended. */
async function refresh(url: string, refreshToken: string): Promise<Tokens | null> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query: REFRESH, variables: { refreshToken } }),
  });
  const { data, errors } = await response.json();
  if (!data) throw new Error(errors[0].message); // not refused: the old token is still good for another try
  return data.refreshSession.session;
}

function isOld(tokens?: Tokens | null) {
  return !!tokens && Date.parse(tokens.expiresAt) < Date.now() + 60_000;
}

const read = () => stored<Tokens | null>("readonly", (store) => store.get("tokens"));
const write = (tokens: Tokens | null) => stored("readwrite", (store) => store.put(tokens, "tokens"));

/** Uses the browser's database: localStorage may still show a tab what another one has just replaced. */
function stored<T>(mode: IDBTransactionMode, use: (store: IDBObjectStore) => IDBRequest<T>) {
  return new Promise<T>((resolve, reject) => {
    const opening = indexedDB.open("session");
    opening.onupgradeneeded = () => opening.result.createObjectStore("session");
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const transaction = opening.result.transaction("session", mode);
      const request = use(transaction.objectStore("session"));
      transaction.onabort = () => reject(transaction.error);
      transaction.oncomplete = () => {
        opening.result.close();
        resolve(request.result);
      };
    };
  });
}
