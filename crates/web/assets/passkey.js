// The one script of these pages: it lets the device's lock answer, and sends its answer with the page's own form.
'use strict';
{
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  const problem = (words) => {
    const place = document.getElementById('passkey-problem');
    place.textContent = words;
    place.hidden = false;
  };
  const answerWith = (id, ask) => {
    const form = document.getElementById(id);
    if (!form || !window.PublicKeyCredential) return;
    form.hidden = false;
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      try {
        const fields = await ask(form.dataset);
        for (const [name, value] of Object.entries(fields)) form.elements.namedItem(name).value = value;
        form.submit();
      } catch (error) {
        problem(error.name === 'InvalidStateError' ? 'This device has a passkey for you already.' : 'No passkey was used. Try again, or use your password.');
      }
    });
  };

  answerWith('passkey-add', async (data) => {
    const { response } = await navigator.credentials.create({
      publicKey: {
        challenge: new TextEncoder().encode(data.challenge),
        rp: { id: data.rp, name: data.rp },
        user: { id: bytes(data.handle), name: data.user, displayName: data.name },
        pubKeyCredParams: [-7, -8, -257].map((alg) => ({ type: 'public-key', alg })),
        authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
        excludeCredentials: data.exclude.split(' ').filter(Boolean).map((id) => ({ type: 'public-key', id: bytes(id) })),
        attestation: 'none',
        timeout: 120000,
      },
    });
    return { client_data: text(response.clientDataJSON), attestation: text(response.attestationObject) };
  });

  answerWith('passkey-sign-in', async (data) => {
    const { rawId, response } = await navigator.credentials.get({
      publicKey: {
        challenge: new TextEncoder().encode(data.challenge),
        rpId: data.rp,
        userVerification: 'required',
        timeout: 120000,
      },
    });
    return {
      id: text(rawId),
      client_data: text(response.clientDataJSON),
      authenticator_data: text(response.authenticatorData),
      signature: text(response.signature),
      user_handle: text(response.userHandle ?? new ArrayBuffer(0)),
    };
  });
}
