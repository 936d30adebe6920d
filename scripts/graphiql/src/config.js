// What the server wrote into the page: endpoint, subscriptionEndpoint, headers or null, title.
const given = JSON.parse(document.getElementById("orchestrator-config").textContent);

export const config = { endpoint: "/graphql", subscriptionEndpoint: "/graphql", headers: null, ...given };
