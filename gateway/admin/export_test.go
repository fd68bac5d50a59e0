package admin

// Titles are the codes of all problems, with their titles.
var Titles = titles

// Bodies are those that only this package knows, by the names that openapi.yaml has for them.
var Bodies = map[string]any{"Problem": problem{}, "KeyRequest": keyRequest{}, "RevokeRequest": revokeRequest{}, "RotateRequest": rotateRequest{},
	"ExpireRequest": expireRequest{}, "ListedKey": listedKey{}, "Status": fullStatus{}}
