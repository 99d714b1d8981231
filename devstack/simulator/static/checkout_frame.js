/* The page in the frame that checkout.js opens. The shop's options come by postMessage from the
 * window that holds the frame; answers go to that window at that origin and to nobody else. Texts of
 * the shop are written as text, never as markup.
 */
(function () {
  'use strict';

  var shop = null; // the origin that opened Checkout, known with the first message
  var options = {};
  var failures = 0;
  var MOST_RETRIES = 4; // Razorpay's own, unless retry.max_count says less

  window.addEventListener('message', function (event) {
    if (event.source !== window.parent || shop !== null) return;
    if (!event.data || event.data.type !== 'open') return;
    shop = event.origin;
    options = event.data.options || {};
    begin();
  });
  if (window.parent !== window) {
    window.parent.postMessage({ type: 'ready' }, '*'); // says nothing but that it is here
  }

  function tell(message) {
    window.parent.postMessage(message, shop);
  }

  function begin() {
    text('shop', options.name || 'The shop');
    text('description', options.description || '');
    element('initial').textContent = String(options.name || 'S').charAt(0).toUpperCase();
    paint((options.theme || {}).color);
    prefill(options.prefill || {});
    element('close').addEventListener('click', leave);
    element('leave').addEventListener('click', leave);
    element('retry').addEventListener('click', function () { show('choices'); });
    element('choices').addEventListener('submit', pay);
    document.addEventListener('keydown', keydown);
    if ((options.modal || {}).backdropclose) {
      document.body.addEventListener('click', function (event) {
        if (event.target === document.body) leave();
      });
    }
    if (options.timeout) countDown(options.timeout);
    ask('/checkout-frame/orders', {}).then(function (answer) {
      if (answer.error) return refuse(answer.error);
      text('amount', money(answer.order.amount, answer.order.currency));
      text('pay-amount', money(answer.order.amount, answer.order.currency));
      text('order', answer.order.id);
      show('choices');
    });
  }

  function pay(event) {
    event.preventDefault();
    var wanted = Object.fromEntries(new FormData(element('choices'), event.submitter));
    busy(true);
    ask('/checkout-frame/payments', wanted).then(function (answer) {
      busy(false);
      if (!answer.error) return tell({ type: 'success', payment: answer.payment });
      failures += 1;
      describe('failed', answer.error);
      element('retry').hidden = failures > retries();
      show('failed');
      tell({ type: 'failure', error: answer.error });
    });
  }

  /* Nothing can be paid here: a wrong key, an unknown or a paid order, another amount. */
  function refuse(error) {
    text('amount', '');
    describe('refused', error);
    show('refused');
  }

  function retries() {
    var retry = options.retry;
    if (retry === false || (retry && retry.enabled === false)) return 0;
    var most = retry && Number(retry.max_count);
    return most > 0 ? most : MOST_RETRIES;
  }

  function leave() {
    if ((options.modal || {}).confirm_close && !window.confirm('Leave without paying?')) return;
    tell({ type: 'dismiss' });
  }

  function keydown(event) {
    if (event.key === 'Escape' && (options.modal || {}).escape !== false) leave();
    if (event.key === 'Tab') keepFocus(event);
  }

  function keepFocus(event) {
    var all = Array.prototype.filter.call(
      document.querySelectorAll('button, input, summary'),
      function (one) { return one.offsetParent !== null && !one.disabled; }
    );
    var last = all[all.length - 1];
    if (event.shiftKey && document.activeElement === all[0]) {
      event.preventDefault();
      last.focus();
    } else if (!event.shiftKey && document.activeElement === last) {
      event.preventDefault();
      all[0].focus();
    }
  }

  function countDown(seconds) {
    var left = Math.round(Number(seconds));
    if (!(left > 0)) return;
    element('timer').hidden = false;
    function tick() {
      text('timer', 'Closes in ' + Math.floor(left / 60) + ':' + String(left % 60).padStart(2, '0'));
      if (left <= 0) return tell({ type: 'dismiss', reason: 'timeout' });
      left -= 1;
      window.setTimeout(tick, 1000);
    }
    tick();
  }

  function ask(path, more) {
    var body = { key_id: options.key, order_id: options.order_id, amount: options.amount, currency: options.currency };
    Object.assign(body, more);
    return fetch(path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    }).then(function (answer) { return answer.json(); }).catch(function () {
      return { error: {
        code: 'SERVER_ERROR', description: 'The simulator did not answer.', source: 'internal',
        step: 'payment_initiation', reason: 'server_error', metadata: {},
      } };
    });
  }

  function describe(part, error) {
    text(part + '-text', error.description);
    text(part + '-detail', [error.code, error.reason].filter(Boolean).join(' / '));
  }

  function prefill(given) {
    var form = element('choices');
    form.elements.contact.value = given.contact || '';
    form.elements.email.value = given.email || '';
    Array.prototype.forEach.call(form.elements.method, function (one) {
      if (one.value === given.method) one.checked = true;
    });
  }

  function paint(color) {
    if (!color || !window.CSS.supports('color', color)) return;
    document.documentElement.style.setProperty('--accent', color);
    var probe = document.createElement('canvas').getContext('2d');
    probe.fillStyle = color;
    probe.fillRect(0, 0, 1, 1);
    var rgb = probe.getImageData(0, 0, 1, 1).data;
    var light = (rgb[0] * 299 + rgb[1] * 587 + rgb[2] * 114) / 1000 > 150;
    document.documentElement.style.setProperty('--on-accent', light ? '#14202e' : '#fff');
  }

  function busy(is) {
    Array.prototype.forEach.call(element('choices').elements, function (one) { one.disabled = is; });
    document.body.setAttribute('aria-busy', String(is));
  }

  function show(part) {
    ['loading', 'choices', 'failed', 'refused'].forEach(function (name) {
      element(name).hidden = name !== part;
    });
    element('leave').hidden = part === 'choices' || part === 'loading';
    var first = element(part).querySelector('button:not([hidden])') || element('leave');
    if (first.offsetParent !== null) first.focus();
  }

  function money(amount, currency) {
    return new Intl.NumberFormat('en-IN', {
      style: 'currency', currency: currency, minimumFractionDigits: amount % 100 ? 2 : 0,
    }).format(amount / 100);
  }

  function text(id, value) {
    element(id).textContent = value;
  }

  function element(id) {
    return document.getElementById(id);
  }
})();
