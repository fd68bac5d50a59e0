//go:build linux

package gateway

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"gwdr/e2e/shell"
	"gwdr/gateway"
)

// tokens is an issuer that knows nothing of gwdr's library: RFC 7515, 7517 and 8037 by hand.
type tokens struct{ private ed25519.PrivateKey }

func segment(of any) string {
	text, err := json.Marshal(of)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func (i tokens) token(claims map[string]any) string {
	text := segment(map[string]string{"alg": "EdDSA", "kid": "a"}) + "." + segment(claims)
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(i.private, []byte(text)))
}

// ServeHTTP answers with the JWKS.
func (i tokens) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	public := base64.RawURLEncoding.EncodeToString(i.private.Public().(ed25519.PublicKey))
	fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"a","x":%q}]}`, public)
}

// A token opens at a data plane that is killed and starts again while its issuer and the control plane are gone.
func TestTokensOutliveTheirIssuer(t *testing.T) {
	shell.New(t, binary)
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	issuer, back := tokens{private}, httptest.NewServer(backend())
	t.Cleanup(back.Close)
	at := httptest.NewServer(issuer)
	t.Cleanup(at.Close)
	control := serve(t, "--role", "control")
	control.put(gateway.Upstream, "back", gateway.UpstreamBody{Endpoints: endpoints(back.Listener.Addr().String())})
	control.put(gateway.Route, "shop", gateway.RouteBody{Path: "/shop", Upstream: "back", Auth: gateway.AuthJWT, Scopes: []string{"read"}})
	control.put(gateway.Setting, "jwt-main", gateway.IssuerBody{Issuer: "me", Audiences: []string{"shop"}, JWKSURL: at.URL})
	data := serve(t, "--role", "data", "--control", "http://"+control.Admin)
	claims := map[string]any{"iss": "me", "aud": "shop", "sub": "ann", "exp": time.Now().Add(time.Hour).Unix(), "scope": "read"}
	good := issuer.token(claims)
	claims["scope"] = "write"
	weak := issuer.token(claims)
	opens := func() {
		t.Helper()
		data.awaitsBearer("/shop", good, 200)
		data.awaitsBearer("/shop", weak, 403)
		data.awaitsBearer("/shop", good[:len(good)-8]+"AAAAAAAA", 401)
	}
	opens()
	at.Close()
	control.end(syscall.SIGKILL)
	for _, how := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		data.end(how)
		data.start()
		opens()
	}
}
